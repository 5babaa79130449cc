-- Webhooks that are still to be told of a kill; bookkeeping, no history. Written with the kill itself, gone once they
-- were told.
CREATE TABLE webhook_deliveries (
    -- The webhook's name in the configuration.
    webhook TEXT    NOT NULL,
    -- The kill.
    kill_id BLOB    NOT NULL,
    -- From then on any gateway may take it, if nothing more will be learned of the kill: a pause or a lease that is over.
    due_at  INTEGER NOT NULL,
    -- How often it was taken; tells whoever has it from whoever had it before.
    tries   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (webhook, kill_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (webhook, due_at);
