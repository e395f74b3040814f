//! What the answer to a page of items means for its playlist.

use super::*;

impl ItemsWalk {
    pub(super) fn absorb(&mut self, leg: Leg, batch: &mut ItemsBatch) {
        let Leg { playlist_id, mut assembly } = leg;
        let is_its = |work: &Work| work.playlist().id == playlist_id && !work.is_done;
        let Some(at) = self.queue.iter().position(is_its) else { return };
        if let Some(fault) = assembly.fault.take() {
            return self.absorb_fault(at, fault, batch);
        }
        self.failures_in_a_row = 0;
        match &mut self.queue[at].task {
            Task::Fill(filling) => {
                let filled = filling.absorb(assembly);
                let (is_done, num_gaps) = (filling.is_done(), filling.num_gaps);
                batch.parts.extend(filled.part);
                let playlist_id = Some(playlist_id);
                let gap = |(offset_from, offset_to)| HealedGap { playlist_id, offset_from, offset_to };
                batch.healed_gaps.extend(filled.healed.map(gap));
                self.queue[at].is_done = is_done;
                self.num_gaps += if is_done { num_gaps } else { 0 };
            }
            Task::Read(_) => self.absorb_items(at, assembly, batch),
        }
    }

    fn absorb_fault(&mut self, at: usize, fault: Fault, batch: &mut ItemsBatch) {
        match fault {
            Fault::Forbidden(reason) | Fault::Gone(reason) => {
                let work = &mut self.queue[at];
                work.num_refusals += 1;
                if work.playlist().is_own && work.num_refusals < REFUSALS_MAX {
                    // It may be shown a moment later.
                    return;
                }
                self.failures_in_a_row = 0;
                self.fail(at, FailureKind::Refused, reason, None, batch);
            }
            Fault::Unservable(_) | Fault::Unreachable(_) | Fault::Outage(_) | Fault::Refused(_) => {
                self.failures_in_a_row += 1;
                self.queue[at].suspect = Some(fault);
            }
            fault @ (Fault::Paused(_)
            | Fault::SignIn(_)
            | Fault::NotPermitted(_)
            | Fault::Away(_)
            | Fault::Internal(_)
            | Fault::Overtaken(_)
            | Fault::Stopped) => self.fault = Some(fault),
        }
    }

    /// A playlist that failed is at fault only if something else is answered: another playlist, or the listing.
    pub(super) fn settle_suspects(&mut self, batch: &mut ItemsBatch) {
        let suspects: Vec<(usize, Fault)> = (0..)
            .zip(&self.queue)
            .filter(|(_, work)| !work.is_done)
            .filter_map(|(at, work)| Some((at, work.suspect.clone()?)))
            .collect();
        let Some((_, last)) = suspects.last().cloned().filter(|_| self.fault.is_none()) else { return };
        let has_others = self.queue.iter().any(|work| !work.is_done && work.suspect.is_none());
        let is_stuck = self.failures_in_a_row >= FAILURES_MAX;
        if self.failures_in_a_row == 0 || self.plan.is_alive {
            for (at, fault) in suspects {
                self.queue[at].suspect = None;
                self.fail(at, FailureKind::Failed, fault.to_string(), None, batch);
            }
            self.fault = Some(last).filter(|_| is_stuck && has_others);
        } else if is_stuck || !has_others {
            self.is_doubtful = true;
            self.fault = Some(last);
        }
    }

    fn absorb_items(&mut self, at: usize, page: Assembly, batch: &mut ItemsBatch) {
        let in_pieces = page.in_pieces;
        let num_gaps = page.num_gaps();
        let Task::Read(reading) = &mut self.queue[at].task else { return };
        let length_before = reading.length();
        match reading.absorb(page) {
            Absorbed::Useless => {}
            Absorbed::Moved => {
                reading.restart();
                if reading.restarts > RESTARTS_MAX {
                    let (reason, total) = ("it kept changing while it was read".to_owned(), reading.total);
                    self.fail(at, FailureKind::Unsteady, reason, total, batch);
                }
            }
            Absorbed::Rows { offset, cells, num_before, num_hidden, is_end } => {
                let Split { items, odd, gaps } = split(cells, offset);
                let playlist = reading.playlist.clone();
                self.items_total = self.items_total.saturating_add(reading.length()).saturating_sub(length_before);
                self.items_done += items.len() as u32;
                self.num_gaps += num_gaps;
                reading.unread.extend(gaps.iter().map(|gap| (gap.offset_from, gap.offset_to)));
                batch.new_gaps.extend(gaps.into_iter().map(|gap| (playlist.id.clone(), gap)));
                if num_before > 0 {
                    // Only now does it show that rows are hidden before these; a part includes that range, since parts
                    // follow each other.
                    let from = offset - num_before;
                    batch.parts.push(PlaylistPart { num_hidden: num_before, ..part_of(&playlist, from) });
                }
                if !is_end {
                    if !items.is_empty() || num_hidden > 0 {
                        batch.parts.push(PlaylistPart { items, odd, num_hidden, ..part_of(&playlist, offset) });
                    }
                    return;
                }
                let is_long = reading.num_pages > 1 || in_pieces || offset > 0;
                let (total, all_hidden, is_unproven) = (reading.committed, reading.num_hidden, reading.is_unproven);
                let healed = reading.healed();
                if total > 0 && all_hidden == total {
                    let reason = format!("{total} items are counted, and none came");
                    return self.fail(at, FailureKind::Miscounted, reason, Some(0), batch);
                }
                let read = item_end::Reading { total, is_unproven, healed };
                match item_end::complete(&playlist, read, self.plan.wait, self.plan.now) {
                    PlaylistEnd::Failed(failed) => self.end_failed(at, failed, batch),
                    end => {
                        let doubt = match &end {
                            PlaylistEnd::Complete { failure, .. } => failure.as_ref(),
                            PlaylistEnd::Failed(_) | PlaylistEnd::GapFilled => None,
                        };
                        self.num_unconfirmed += u32::from(is_long || doubt.is_some());
                        if let Some(doubt) = doubt {
                            self.notes.extend(note_of(&playlist, doubt));
                            self.failed.push(playlist.clone());
                        }
                        if all_hidden != playlist.num_hidden {
                            self.notes.push(notes::hidden_items(&playlist.name, all_hidden));
                        }
                        let end = Some(end);
                        batch.parts.push(PlaylistPart { items, odd, num_hidden, end, ..part_of(&playlist, offset) });
                        self.queue[at].is_done = true;
                    }
                }
            }
        }
    }
}
