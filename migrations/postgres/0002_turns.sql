-- The turns that gateways share: each budget's calls of the last second or so, and those that lie ahead.
--
-- A role that only serves needs EXECUTE on take_turns and room_for_turns, and SELECT, INSERT and UPDATE on turns.

-- Not logged: after a crash of the database the turns are older than any of them counts.
CREATE UNLOGGED TABLE turns (
    budget  text       PRIMARY KEY,
    slots   bigint[]   NOT NULL DEFAULT '{}',
    classes smallint[] NOT NULL DEFAULT '{}',
    counts  integer[]  NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

COMMENT ON TABLE turns IS 'When calls to a vendor were or will be let go, for all gateways on this database';
COMMENT ON COLUMN turns.budget IS 'Account, vendor and, where the vendor counts so, action';
COMMENT ON COLUMN turns.slots IS 'Microseconds since the Unix epoch by this database''s clock, in order';
COMMENT ON COLUMN turns.classes IS 'What each slot was taken for: 0 urgent kill, 1 kill, 2 read';
COMMENT ON COLUMN turns.counts IS 'How many turns were taken for each slot';

-- How many more turns fit at a moment: no span that holds it may then have more of a class and those after it than
-- `most` says. Slots are in order of time.
CREATE FUNCTION room_for_turns(
    at bigint, slots bigint[], classes smallint[], counts integer[], of_class smallint, most integer[], span bigint
) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    room    integer;
    fullest integer;
    held    integer;
    past    integer;
BEGIN
    FOR first_counted IN 0 .. of_class LOOP
        -- The end of the span moves on from slot to slot, and its beginning follows.
        fullest := 0;
        held := 0;
        past := 1;
        FOR i IN 1 .. cardinality(slots) LOOP
            CONTINUE WHEN slots[i] <= at - span OR classes[i] < first_counted;
            EXIT WHEN slots[i] >= at + span;
            WHILE slots[past] <= slots[i] - span OR slots[past] <= at - span LOOP
                IF slots[past] > at - span AND classes[past] >= first_counted THEN
                    held := held - counts[past];
                END IF;
                past := past + 1;
            END LOOP;
            held := held + counts[i];
            fullest := greatest(fullest, held);
        END LOOP;
        room := least(room, greatest(most[first_counted + 1], 1) - fullest);
    END LOOP;
    RETURN room;
END $$;

COMMENT ON FUNCTION room_for_turns IS 'How many more turns of a class fit at a moment; none or less where it is full';

-- The same as Window::take in src/window.rs, under the lock of the budget's row.
CREATE FUNCTION take_turns(
    of_budget text, of_class smallint, most integer[], many integer, patience bigint, span bigint,
    OUT taken integer, OUT wait bigint, OUT remaining integer
) LANGUAGE plpgsql AS $$
DECLARE
    held   turns%ROWTYPE;
    now_us bigint;
    slot   bigint;
    room   integer;
    place  integer;
    total  integer;
BEGIN
    SELECT * INTO held FROM turns WHERE budget = of_budget FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO turns (budget) VALUES (of_budget) ON CONFLICT DO NOTHING;
        SELECT * INTO held FROM turns WHERE budget = of_budget FOR UPDATE;
    END IF;
    now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    -- Nobody waits for more than a minute: a turn that lies further ahead is from before the clock was set back.
    SELECT coalesce(array_agg(s.at), '{}'), coalesce(array_agg(s.class), '{}'), coalesce(array_agg(s.count), '{}'),
            coalesce(sum(s.count), 0)
        INTO held.slots, held.classes, held.counts, total
        FROM (SELECT * FROM unnest(held.slots, held.classes, held.counts) AS s (at, class, count)
              WHERE s.at > now_us - span AND s.at <= now_us + 60000000 + span ORDER BY s.at, s.class) AS s;
    slot := now_us;
    -- With all of them in one span there would still be room: then nothing needs to be looked at more closely.
    room := least(most[1], CASE WHEN of_class > 0 THEN most[2] END, CASE WHEN of_class > 1 THEN most[3] END) - total;
    place := 0;
    WHILE room < greatest(many, 1) LOOP
        room := room_for_turns(slot, held.slots, held.classes, held.counts, of_class, most, span);
        EXIT WHEN room > 0;
        -- Room comes back where a span that began with a turn ends.
        LOOP
            place := place + 1;
            EXIT WHEN held.slots[place] + span > slot;
        END LOOP;
        slot := held.slots[place] + span;
    END LOOP;
    wait := slot - now_us;
    taken := 0;
    IF wait <= patience THEN
        -- Several at once only where nobody has to wait for them.
        taken := CASE WHEN wait > 0 THEN 1 ELSE least(greatest(many, 1), room) END;
        total := total + taken;
        -- Where there are many turns, as the beginning of its grain, of which a span has 200.
        IF most[1] > 200 THEN
            slot := slot - slot % greatest(span / 200, 1);
        END IF;
        place := cardinality(held.slots);
        WHILE place > 0 AND (held.slots[place], held.classes[place]) > (slot, of_class) LOOP
            place := place - 1;
        END LOOP;
        IF place > 0 AND (held.slots[place], held.classes[place]) = (slot, of_class) THEN
            held.counts[place] := held.counts[place] + taken;
        ELSE
            held.slots := held.slots[: place] || slot || held.slots[place + 1 :];
            held.classes := held.classes[: place] || of_class || held.classes[place + 1 :];
            held.counts := held.counts[: place] || taken || held.counts[place + 1 :];
        END IF;
        UPDATE turns SET slots = held.slots, classes = held.classes, counts = held.counts WHERE budget = of_budget;
    END IF;
    remaining := greatest(most[1] - total, 0);
END $$;

COMMENT ON FUNCTION take_turns IS
    'Takes the next turns of a budget, all for one moment, unless they would come later than patience allows';
