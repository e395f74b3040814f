DROP TABLE cooldowns;
