-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    CONSTRAINT "sign-ins that wait for their account would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM pending_sign_ins);
DROP TABLE refused;

DROP TABLE pending_sign_ins;
