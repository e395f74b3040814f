DROP TABLE play_gaps;
DROP TABLE playback_states;
