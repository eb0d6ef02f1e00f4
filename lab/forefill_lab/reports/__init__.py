"""`forefill bench reports`: how many sidecars one operator serves, measured over real TLS streams."""
