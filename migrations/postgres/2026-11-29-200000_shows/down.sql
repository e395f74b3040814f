DROP TABLE saved_audiobooks;
DROP TABLE saved_episodes;
DROP TABLE saved_shows;
DROP TABLE audiobooks;
DROP TABLE episodes;
DROP TABLE shows;
