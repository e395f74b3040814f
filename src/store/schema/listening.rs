//! The tables of a person's own data export.

tables! {
    imports (id) {
        id -> BigInt,
        account_id -> BigInt,
        started_at -> Instant,
        finished_at -> Nullable<Instant>,
        files -> BigInt,
        rows_read -> BigInt,
        streams_new -> BigInt,
        played_at_is -> Nullable<Text>,
    }

    streams (id) {
        id -> BigInt,
        account_id -> BigInt,
        import_id -> BigInt,
        logged_at -> Instant,
        digest -> BigInt,
        started_at -> Instant,
        ended_at -> Instant,
        ms_played -> BigInt,
        kind -> Text,
        uri -> Nullable<Text>,
        name -> Nullable<Text>,
        creator -> Nullable<Text>,
        collection -> Nullable<Text>,
        collection_uri -> Nullable<Text>,
        reason_start -> Nullable<Text>,
        reason_end -> Nullable<Text>,
        shuffle -> Nullable<Bool>,
        skipped -> Nullable<Bool>,
        offline -> Nullable<Bool>,
        incognito -> Nullable<Bool>,
        platform -> Nullable<Text>,
        country -> Nullable<Text>,
        origin -> Text,
        played_at -> Nullable<Instant>,
        played_uri -> Nullable<Text>,
        offset_ms -> Nullable<BigInt>,
    }
}
