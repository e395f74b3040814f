//! The tables of runs, their batches and leftovers, and of requests sent.

tables! {
    sync_states (id) {
        id -> BigInt,
        account_id -> BigInt,
        entity_type -> Text,
        phase -> Text,
        last_synced_offset -> BigInt,
        cursor -> Nullable<Text>,
        total_estimated -> Nullable<BigInt>,
        is_complete -> Bool,
        rate_limit_hit_at -> Nullable<Instant>,
        rate_limit_reset_at -> Nullable<Instant>,
        rate_limit_remaining -> Nullable<Integer>,
        started_at -> Nullable<Instant>,
        last_updated_at -> Nullable<Instant>,
        completed_at -> Nullable<Instant>,
        failed_at -> Nullable<Instant>,
        error_message -> Nullable<Text>,
        checkpoint -> Nullable<Text>,
        generation -> BigInt,
        owner -> Nullable<Text>,
        owner_label -> Nullable<Text>,
        next_run_at -> Nullable<Instant>,
    }

    sync_batches (id) {
        id -> BigInt,
        account_id -> BigInt,
        run_id -> Text,
        entity_type -> Text,
        phase -> Text,
        offset_from -> BigInt,
        offset_to -> BigInt,
        items_processed -> BigInt,
        items_new -> BigInt,
        items_updated -> BigInt,
        items_unchanged -> BigInt,
        items_odd -> BigInt,
        items_removed -> BigInt,
        requests -> BigInt,
        duration_ms -> BigInt,
        committed_at -> Instant,
    }

    held_removals (account_id, entity_type, playlist_id, item_id) {
        account_id -> BigInt,
        entity_type -> Text,
        playlist_id -> Text,
        item_id -> Text,
        since -> Instant,
        is_counted -> Bool,
        is_confirmed -> Bool,
    }

    sync_gaps (id) {
        id -> BigInt,
        account_id -> BigInt,
        entity_type -> Text,
        playlist_id -> Nullable<Text>,
        offset_from -> BigInt,
        offset_to -> BigInt,
        pass -> BigInt,
        total -> Nullable<BigInt>,
        reason -> Text,
        since -> Instant,
        healed_at -> Nullable<Instant>,
    }

    sync_seen (account_id, entity_type, pass, item_id) {
        account_id -> BigInt,
        entity_type -> Text,
        pass -> BigInt,
        item_id -> Text,
    }

    sync_odd_items (account_id, entity_type, playlist_id, position) {
        account_id -> BigInt,
        entity_type -> Text,
        playlist_id -> Text,
        position -> BigInt,
        reason -> Text,
        name -> Nullable<Text>,
        uri -> Nullable<Text>,
        seen_at -> Instant,
    }

    rate_limits (family) {
        family -> Text,
        blocked_until -> Nullable<Instant>,
        class -> Nullable<Text>,
        learned_rate -> Nullable<Double>,
        day_count -> Nullable<Integer>,
        day_started_at -> Nullable<Instant>,
        updated_at -> Instant,
        learned_window_ms -> Nullable<BigInt>,
        refused_level -> Nullable<BigInt>,
        refused_at -> Nullable<Instant>,
        refused_times -> Nullable<BigInt>,
        probe_by -> Nullable<Text>,
        probe_until -> Nullable<Instant>,
    }

    cooldowns (id) {
        id -> BigInt,
        family -> Text,
        class -> Text,
        began_at -> Instant,
        ends_at -> Instant,
    }

    gate_processes (owner) {
        owner -> Text,
        owner_label -> Text,
        owner_place -> Text,
        owner_pid -> BigInt,
        seen_at -> Instant,
        waiting_since -> Nullable<Instant>,
        held -> BigInt,
        held_until -> Instant,
        has_block -> Bool,
        answered -> Text,
    }

    request_ledger (family, started_at) {
        family -> Text,
        started_at -> Instant,
        requests -> BigInt,
        refusals -> BigInt,
    }

    nodes (id) {
        id -> Text,
        label -> Text,
        place -> Text,
        pid -> BigInt,
        version -> Text,
        client_id -> Text,
        started_at -> Instant,
        seen_at -> Instant,
        holds_until -> Instant,
    }

    orders (id) {
        id -> BigInt,
        account_id -> BigInt,
        kind -> Text,
        entity_types -> Nullable<Text>,
        given_at -> Instant,
        given_by -> Text,
        ended_at -> Nullable<Instant>,
        ended_by -> Nullable<Text>,
        outcome -> Nullable<Text>,
    }
}
