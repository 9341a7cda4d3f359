"""The only modules of the library that touch sockets, files, clocks and entropy."""
