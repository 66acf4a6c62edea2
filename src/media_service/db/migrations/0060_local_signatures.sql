-- How often an operator has changed local signatures, of which the scan engine itself reports nothing.
create table local_signatures (
    only_row boolean primary key default true check (only_row),
    changes integer not null
);
