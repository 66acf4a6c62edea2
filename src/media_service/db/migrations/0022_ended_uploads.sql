-- Uploads that have ended, by the time of their end: they are removed after MEDIA_KEEP_ENDED_UPLOADS. The rows of
-- retired blob ids stay (reconcile).
create index uploads_ended on uploads (update_time)
    where state in ('FINISHED', 'FAILED', 'ABORTED', 'EXPIRED')
    and not (owner_type = 'service' and owner_id = 'reconcile');
