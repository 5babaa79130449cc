-- The turns that gateways share: each budget's calls of the last second or so, and those that lie ahead.
--
-- A role that only serves needs EXECUTE on take_turn, and SELECT, INSERT and UPDATE on turns.

-- Not logged: after a crash of the database the turns are older than any of them counts.
CREATE UNLOGGED TABLE turns (
    budget  text       PRIMARY KEY,
    slots   bigint[]   NOT NULL DEFAULT '{}',
    classes smallint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

COMMENT ON TABLE turns IS 'When calls to a vendor were or will be let go, for all gateways on this database';
COMMENT ON COLUMN turns.budget IS 'Account, vendor and, where the vendor counts so, action';
COMMENT ON COLUMN turns.slots IS 'Microseconds since the Unix epoch by this database''s clock';
COMMENT ON COLUMN turns.classes IS 'What each slot was taken for: 0 urgent kill, 1 kill, 2 read';

-- The same as Window::take in src/window.rs, under the lock of the budget's row.
CREATE FUNCTION take_turn(
    of_budget text, of_class smallint, most integer[], patience bigint, span bigint,
    OUT taken boolean, OUT wait bigint, OUT remaining integer
) LANGUAGE plpgsql AS $$
DECLARE
    held     turns%ROWTYPE;
    now_us   bigint;
    slot     bigint;
    before   bigint;
    kept     bigint[];
    kept_for smallint[];
    counted  bigint[];
    many     integer;
BEGIN
    INSERT INTO turns (budget) VALUES (of_budget) ON CONFLICT DO NOTHING;
    SELECT * INTO held FROM turns WHERE budget = of_budget FOR UPDATE;
    now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    -- Nobody waits for more than a minute: a turn that lies further ahead is from before the clock was set back.
    SELECT coalesce(array_agg(at ORDER BY at, class), '{}'), coalesce(array_agg(class ORDER BY at, class), '{}')
        INTO kept, kept_for FROM unnest(held.slots, held.classes) AS s (at, class)
        WHERE at > now_us - span AND at <= now_us + 60000000 + span;
    slot := now_us;
    LOOP
        before := slot;
        FOR first_counted IN 0 .. of_class LOOP
            SELECT coalesce(array_agg(at ORDER BY at), '{}') INTO counted
                FROM unnest(kept, kept_for) AS s (at, class) WHERE class >= first_counted;
            many := greatest(most[first_counted + 1], 1);
            FOR i IN 1 .. cardinality(counted) - many + 1 LOOP
                -- As many within a span as there may be: not one more between them, nor less than a span away.
                IF counted[i + many - 1] - counted[i] < span AND slot > counted[i + many - 1] - span THEN
                    slot := greatest(slot, counted[i] + span);
                END IF;
            END LOOP;
        END LOOP;
        EXIT WHEN slot = before;
    END LOOP;
    wait := slot - now_us;
    taken := wait <= patience;
    IF taken THEN
        kept := kept || slot;
        kept_for := kept_for || of_class;
        UPDATE turns SET slots = kept, classes = kept_for WHERE budget = of_budget;
    END IF;
    remaining := greatest(most[1] - cardinality(kept), 0);
END $$;

COMMENT ON FUNCTION take_turn IS 'Takes the next turn of a budget, unless it would come later than patience allows';
