-- The fencing token of a claim, and the number of a job among those of its parent job.
alter table jobs rename column token to fence;
alter table jobs rename column part to subjob_number;
