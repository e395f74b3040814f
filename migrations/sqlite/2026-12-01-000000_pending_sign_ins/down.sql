-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 INTEGER,
    CONSTRAINT "sign-ins that wait for their account would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM pending_sign_ins);
DROP TABLE refused;

DROP TABLE pending_sign_ins;
