-- For the example catalogue of docker-compose.yml, whose database is on a network of its own.
CREATE USER ham3d;
GRANT SELECT ON ham3d.* TO ham3d;
