DELETE FROM sync_seen s USING sync_seen t
WHERE (s.account_id, s.entity_type, s.pass, s.item_id) = (t.account_id, t.entity_type, t.pass, t.item_id)
    AND s.ctid > t.ctid;
ALTER TABLE sync_seen ADD PRIMARY KEY (account_id, entity_type, pass, item_id);
