-- Which webhooks are still to be told of a kill. Written with the kill itself, gone once they were told.

CREATE TABLE webhook_deliveries (
    webhook text        NOT NULL,
    kill_id uuid        NOT NULL,
    due_at  timestamptz NOT NULL,
    tries   integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (webhook, kill_id)
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (webhook, due_at);

COMMENT ON TABLE webhook_deliveries IS 'Webhooks that are still to be told of a kill; bookkeeping, no history';
COMMENT ON COLUMN webhook_deliveries.webhook IS 'The webhook''s name in the configuration';
COMMENT ON COLUMN webhook_deliveries.kill_id IS 'The kill';
COMMENT ON COLUMN webhook_deliveries.due_at IS
    'From then on any gateway may take it, if nothing more will be learned of the kill: a pause or a lease that is over';
COMMENT ON COLUMN webhook_deliveries.tries IS 'How often it was taken; tells whoever has it from whoever had it before';
