-- Idempotency keys (idempotency_keys) replace request ids of jobs.
drop index jobs_by_request;
alter table jobs drop column request_id;
