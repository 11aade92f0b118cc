"""Building images from Dockerfiles (`rl build`): `builder` goes through the steps that `reader` reads; `stage` makes layers."""
