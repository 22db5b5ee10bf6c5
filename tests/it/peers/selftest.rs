//! Whether the peers are what they claim to be: the specification's vectors, its table of unlike nodes, its list of
//! crashes, and the tricks.
