-- Tickets for the events of a collection.
alter table watch_tickets
    drop constraint watch_tickets_resource_field_check,
    add constraint watch_tickets_resource_field_check
        check (resource_field in ('upload_id', 'job_id', 'media_id', 'events', 'collection_id'));
