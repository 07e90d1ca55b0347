CREATE TABLE IF NOT EXISTS readings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,               -- Unix seconds, by the device's clock
    digit INTEGER CHECK (digit BETWEEN 0 AND 9),
    reason TEXT,                    -- why there is no digit
    confidence REAL NOT NULL,
    glyph BLOB,                     -- 784 bytes, row by row, 255 = ink
    crc INTEGER                     -- CRC-32 of the others; NULL = of before there was one
) STRICT;
