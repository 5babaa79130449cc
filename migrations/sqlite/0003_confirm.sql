-- Which preview a kill was bound to when it was asked; null if to none.
ALTER TABLE kills ADD COLUMN confirms BLOB CHECK (length(confirms) = 16);

CREATE TRIGGER kills_keep_what_they_confirm BEFORE UPDATE OF confirms ON kills
    BEGIN SELECT RAISE(ABORT, 'kills: what was asked never changes'); END;
