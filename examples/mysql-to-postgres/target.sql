-- The tables of Sakila for PostgreSQL, parents first. Everything has the name that it has in MySQL, so the mapping is the default one.
-- The cycle between store and staff is closed at the end of the migration: see README.md.

CREATE TABLE country (
  country_id int PRIMARY KEY,
  country varchar(50) NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE city (
  city_id int PRIMARY KEY,
  city varchar(50) NOT NULL,
  country_id int NOT NULL REFERENCES country,
  last_update timestamptz NOT NULL
);

CREATE TABLE address (
  address_id int PRIMARY KEY,
  address varchar(50) NOT NULL,
  address2 varchar(50),
  district varchar(20) NOT NULL,
  city_id int NOT NULL REFERENCES city,
  postal_code varchar(10),
  phone varchar(20) NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE language (
  language_id smallint PRIMARY KEY,
  name varchar(20) NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE category (
  category_id smallint PRIMARY KEY,
  name varchar(25) NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE actor (
  actor_id int PRIMARY KEY,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE film (
  film_id int PRIMARY KEY,
  title varchar(128) NOT NULL,
  description text,
  release_year smallint,
  language_id smallint NOT NULL REFERENCES language,
  original_language_id smallint REFERENCES language,
  rental_duration smallint NOT NULL,
  rental_rate numeric(4,2) NOT NULL,
  length int,
  replacement_cost numeric(5,2) NOT NULL,
  rating text,
  special_features text,
  last_update timestamptz NOT NULL
);

CREATE TABLE film_text (
  film_id int PRIMARY KEY,
  title varchar(255) NOT NULL,
  description text
);

CREATE TABLE film_actor (
  actor_id int REFERENCES actor,
  film_id int REFERENCES film,
  last_update timestamptz NOT NULL,
  PRIMARY KEY (actor_id, film_id)
);

CREATE TABLE film_category (
  film_id int REFERENCES film,
  category_id smallint REFERENCES category,
  last_update timestamptz NOT NULL,
  PRIMARY KEY (film_id, category_id)
);

CREATE TABLE store (
  store_id smallint PRIMARY KEY,
  manager_staff_id smallint NOT NULL,
  address_id int NOT NULL,
  last_update timestamptz NOT NULL
);

CREATE TABLE staff (
  staff_id smallint PRIMARY KEY,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  address_id int NOT NULL,
  picture bytea,
  email varchar(50),
  store_id smallint NOT NULL REFERENCES store,
  active boolean NOT NULL,
  username varchar(16) NOT NULL,
  password varchar(40),
  last_update timestamptz NOT NULL
);

CREATE TABLE customer (
  customer_id int PRIMARY KEY,
  store_id smallint NOT NULL REFERENCES store,
  first_name varchar(45) NOT NULL,
  last_name varchar(45) NOT NULL,
  email varchar(50),
  address_id int NOT NULL,
  active boolean NOT NULL,
  create_date timestamp NOT NULL,
  last_update timestamptz
);

CREATE TABLE inventory (
  inventory_id int PRIMARY KEY,
  film_id int NOT NULL REFERENCES film,
  store_id smallint NOT NULL REFERENCES store,
  last_update timestamptz NOT NULL
);

CREATE TABLE rental (
  rental_id int PRIMARY KEY,
  rental_date timestamp NOT NULL,
  inventory_id int NOT NULL,
  customer_id int NOT NULL,
  return_date timestamp,
  staff_id smallint NOT NULL REFERENCES staff,
  last_update timestamptz NOT NULL,
  UNIQUE (rental_date, inventory_id, customer_id)
);

-- The actions are the source's. What InnoDB does by itself is followed with or without them; after the switch they are needed.
CREATE TABLE payment (
  payment_id int PRIMARY KEY,
  customer_id int NOT NULL,
  staff_id smallint NOT NULL,
  rental_id int REFERENCES rental ON DELETE SET NULL ON UPDATE CASCADE,
  amount numeric(5,2) NOT NULL,
  payment_date timestamp NOT NULL,
  last_update timestamptz
);
