"""One file of all the appliance knows: what is in it, how it is written, how it is restored."""
