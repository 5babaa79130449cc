-- Which preview a kill was bound to when it was asked.
ALTER TABLE kills ADD COLUMN confirms uuid;
COMMENT ON COLUMN kills.confirms IS 'The preview whose confirm this kill was asked with; null if with none';

CREATE TRIGGER kills_keep_what_they_confirm BEFORE UPDATE ON kills FOR EACH ROW
    WHEN (NEW.confirms IS DISTINCT FROM OLD.confirms)
    EXECUTE FUNCTION kill_may_not_change();
