-- Tickets that open one event stream for a caller without a token. The ticket itself is not stored, only its SHA-256.
create table watch_tickets (
    ticket_hash bytea primary key check (octet_length(ticket_hash) = 32),
    -- What the ticket opens: the request field that names the resource, and the resource's id.
    resource_field text not null check (resource_field in ('upload_id', 'job_id')),
    resource_id uuid not null,
    -- The caller, with the permissions of the token that created the ticket.
    principal jsonb not null,
    expire_time timestamptz not null
);
create index watch_tickets_expired on watch_tickets (expire_time);
