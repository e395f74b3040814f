DROP TABLE paused_entities;
