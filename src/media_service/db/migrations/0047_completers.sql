-- The caller who completes an upload that is VERIFYING, as JSON: they must have access until the media exists.
alter table uploads add column completer jsonb;
