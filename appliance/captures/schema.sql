CREATE TABLE IF NOT EXISTS captures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,               -- Unix seconds, by the device's clock
    label INTEGER NOT NULL CHECK (label BETWEEN 0 AND 10),      -- 10 = not a digit
    said INTEGER CHECK (said BETWEEN 0 AND 9),                  -- NULL = the network refused
    reason TEXT,                    -- why it refused
    confidence REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    network TEXT NOT NULL,          -- sha256 of the network that said so
    glyph BLOB NOT NULL CHECK (length(glyph) = 784),            -- row by row, 255 = ink
    picture BLOB NOT NULL,          -- PNG
    crc INTEGER NOT NULL,           -- CRC-32 of all the others, to know a damaged row by
    deleted REAL                    -- when, Unix seconds; NULL = it is there
) STRICT;

-- Counts and what goes first when room is needed are read from here, without the pictures.
CREATE INDEX IF NOT EXISTS captures_by_label ON captures (deleted, label, said);

-- Grows with every change, so that what was worked out from the captures is known to be old.
CREATE TABLE IF NOT EXISTS changes (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO changes VALUES (1, 0);
