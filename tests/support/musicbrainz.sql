-- The tables of MusicBrainz that a scan reads, with the columns and types of its published schema
-- (https://github.com/metabrainz/musicbrainz-server/blob/master/admin/sql/CreateTables.sql).
CREATE SCHEMA musicbrainz;

CREATE TABLE musicbrainz.area (id integer PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE musicbrainz.gender (id integer PRIMARY KEY, name varchar(255) NOT NULL);
CREATE TABLE musicbrainz.editor (
    id integer PRIMARY KEY,
    name varchar(64) NOT NULL,
    privs integer DEFAULT 0,
    email varchar(64) DEFAULT NULL,
    website varchar(255) DEFAULT NULL,
    bio text DEFAULT NULL,
    member_since timestamp with time zone DEFAULT now(),
    email_confirm_date timestamp with time zone,
    last_login_date timestamp with time zone DEFAULT now(),
    last_updated timestamp with time zone DEFAULT now(),
    birth_date date,
    gender integer REFERENCES musicbrainz.gender (id),
    area integer REFERENCES musicbrainz.area (id),
    password varchar(128) NOT NULL,
    ha1 char(32) NOT NULL,
    deleted boolean NOT NULL DEFAULT false
);

-- A role with what a scan needs, and nothing else.
CREATE ROLE scanner LOGIN;
GRANT USAGE ON SCHEMA musicbrainz TO scanner;
GRANT SELECT (id, name, privs, email, website, bio, member_since, email_confirm_date, last_login_date, last_updated,
              birth_date, gender, area) ON musicbrainz.editor TO scanner;
GRANT SELECT (id, name) ON musicbrainz.area, musicbrainz.gender TO scanner;
CREATE SCHEMA spam;
GRANT USAGE, CREATE ON SCHEMA spam TO scanner;

-- A role without any right.
CREATE ROLE stranger LOGIN;
