-- The stores and their markers. `written`: whether the marker was in the store once.
create table stores (
    name text primary key,
    marker uuid not null,
    written boolean not null default false
);
