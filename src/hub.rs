//! A Homing Space hub: spaces with their personas, sites with their sauces, welcomes.
