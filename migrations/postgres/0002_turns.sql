-- The turns that gateways share: each budget's calls of the last second or so, or of the last minute where the vendor counts
-- by the minute, and those that lie ahead.
--
-- A role that only serves needs EXECUTE on take_turns and room_for_turns, and SELECT, INSERT and UPDATE on turns.

-- Not logged: after a crash of the database the turns are older than any of them counts.
CREATE UNLOGGED TABLE turns (
    budget  text       PRIMARY KEY,
    slots   bigint[]   NOT NULL DEFAULT '{}',
    classes smallint[] NOT NULL DEFAULT '{}',
    counts  integer[]  NOT NULL DEFAULT '{}',
    held    integer    NOT NULL DEFAULT 0,
    skew    bigint     NOT NULL DEFAULT 0
    -- To compress some hundred slots takes longer than all the rest: what fits into a page stays as it is.
) WITH (fillfactor = 50, toast_tuple_target = 8160);

COMMENT ON TABLE turns IS 'When calls to a vendor were or will be let go, for all gateways on this database';
COMMENT ON COLUMN turns.budget IS
    'Vendor, a digest of who is counted and where, and, where the vendor counts so, the action';
COMMENT ON COLUMN turns.slots IS 'Microseconds since the Unix epoch by this database''s clock less the skew, in order';
COMMENT ON COLUMN turns.classes IS 'What each slot was taken for: 0 urgent kill, 1 kill, 2 read';
COMMENT ON COLUMN turns.skew IS 'By how many microseconds the clock was stepped, forward more than back, as far as a gateway noticed';
COMMENT ON COLUMN turns.counts IS 'How many turns were taken for each slot';
COMMENT ON COLUMN turns.held IS 'The sum of all counts, those of slots that count no more among them';

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

-- The same as Window::take in src/dispatch/rate/window.rs, under the lock of the budget's row.
--
-- The clock may be stepped, and what asks has one that cannot be: it tells what it heard the last time (`seen`), how long
-- ago it asked then (`since`) and how long ago it heard that (`since_least`). The first to notice a step of more than half
-- a second takes it out of this budget's time, for everybody: what others heard was in that time too. Less than that cannot
-- be told from an ask that was long on its way.
CREATE FUNCTION take_turns(
    of_budget text, of_class smallint, most integer[], many integer, patience bigint, span bigint,
    longer_most integer[], longer_span bigint, seen bigint, since bigint, since_least bigint,
    OUT taken integer, OUT wait bigint, OUT remaining integer, OUT heard bigint
) LANGUAGE plpgsql AS $$
DECLARE
    held   turns%ROWTYPE;
    now_us bigint;
    -- Before the row is locked, which may take its time.
    arrived bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    stepped bigint;
    slot   bigint;
    room   integer;
    place  integer;
    total  integer;
    recent integer;
    reach  bigint := greatest(span, longer_span);
    is_set_back boolean;
    moments bigint[];
    wanted integer := greatest(many, 1);
    -- Where there are many turns, they are kept as the beginning of their grain, of which a span has 200.
    grain  bigint := CASE WHEN most[1] > 200 THEN greatest(span / 200, 1) ELSE 1 END;
BEGIN
    -- Mostly there are far fewer than there may be. While the row holds no more than half of that, what counts no more
    -- included, the next ones go behind the last, and nothing has to be looked at. Half, so that whoever asks is told
    -- rightly that the budget is not short.
    UPDATE turns t
    SET slots = t.slots || (arrived - t.skew - (arrived - t.skew) % grain), classes = t.classes || of_class,
        counts = t.counts || wanted, held = t.held + wanted
    WHERE t.budget = of_budget AND cardinality(t.slots) < 500
        AND coalesce(t.slots[cardinality(t.slots)], 0) <= arrived - t.skew - (arrived - t.skew) % grain
        AND t.held + wanted <= least(most[1] / 2, CASE WHEN of_class > 0 THEN most[2] END,
            CASE WHEN of_class > 1 THEN most[3] END, longer_most[1], CASE WHEN of_class > 0 THEN longer_most[2] END,
            CASE WHEN of_class > 1 THEN longer_most[3] END)
        AND (seen IS NULL
            OR arrived - t.skew BETWEEN seen + since_least - 500000 AND seen + since + 500000)
    RETURNING wanted, 0, most[1] - t.held, arrived - t.skew INTO taken, wait, remaining, heard;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO held FROM turns WHERE budget = of_budget FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO turns (budget) VALUES (of_budget) ON CONFLICT DO NOTHING;
        SELECT * INTO held FROM turns WHERE budget = of_budget FOR UPDATE;
    END IF;
    stepped := CASE
        WHEN arrived - held.skew > seen + since + 500000 THEN arrived - held.skew - (seen + since)
        WHEN arrived - held.skew < seen + since_least - 500000 THEN arrived - held.skew - (seen + since_least)
        ELSE 0 END;
    held.skew := held.skew + stepped;
    heard := arrived - held.skew;
    now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - held.skew;
    -- Nobody waits for more than a minute: turns that lie further ahead are from before the clock was set back. They count
    -- as if they were of this moment, since nobody knows how long ago they were.
    SELECT coalesce(array_agg(s.at ORDER BY s.at, s.class), '{}'), coalesce(array_agg(s.class ORDER BY s.at, s.class), '{}'),
            coalesce(array_agg(s.count ORDER BY s.at, s.class), '{}'), coalesce(sum(s.count), 0),
            coalesce(sum(s.count) FILTER (WHERE s.at > now_us - span), 0), coalesce(bool_or(s.is_ahead), false)
        INTO held.slots, held.classes, held.counts, total, recent, is_set_back
        FROM (SELECT CASE WHEN is_ahead THEN now_us ELSE given.at END AS at, class, sum(count)::integer AS count,
                  bool_or(is_ahead) AS is_ahead
              FROM unnest(held.slots, held.classes, held.counts) AS given (at, class, count),
                  LATERAL (SELECT given.at > now_us + 60000000 + reach) AS ahead (is_ahead)
              WHERE given.at > now_us - reach
              GROUP BY 1, 2) AS s;
    slot := now_us;
    -- With all of them in one span there would still be room: then nothing needs to be looked at more closely.
    room := least(
        least(most[1], CASE WHEN of_class > 0 THEN most[2] END, CASE WHEN of_class > 1 THEN most[3] END) - recent,
        least(longer_most[1], CASE WHEN of_class > 0 THEN longer_most[2] END,
            CASE WHEN of_class > 1 THEN longer_most[3] END) - total);
    IF room < wanted THEN
        -- Room comes back where a span that began with a turn ends.
        moments := array(SELECT DISTINCT e.at
            FROM (SELECT now_us UNION ALL SELECT unnest(held.slots) + span UNION ALL SELECT unnest(held.slots) + longer_span)
                AS e (at)
            WHERE e.at >= now_us ORDER BY e.at);
        FOREACH slot IN ARRAY moments LOOP
            room := room_for_turns(slot, held.slots, held.classes, held.counts, of_class, most, span);
            IF room > 0 AND longer_span IS NOT NULL THEN
                room := least(room,
                    room_for_turns(slot, held.slots, held.classes, held.counts, of_class, longer_most, longer_span));
            END IF;
            EXIT WHEN room > 0;
        END LOOP;
    END IF;
    wait := slot - now_us;
    taken := 0;
    IF wait <= patience THEN
        -- Several at once only where nobody has to wait for them.
        taken := CASE WHEN wait > 0 THEN 1 ELSE least(wanted, room) END;
        recent := recent + taken;
        slot := slot - slot % grain;
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
    END IF;
    IF taken > 0 OR is_set_back OR stepped <> 0 THEN
        UPDATE turns SET slots = held.slots, classes = held.classes, counts = held.counts, held = total + taken, skew = held.skew
        WHERE budget = of_budget;
    END IF;
    remaining := greatest(most[1] - recent, 0);
END $$;

COMMENT ON FUNCTION take_turns IS
    'Takes the next turns of a budget, all for one moment, unless they would come later than patience allows';
