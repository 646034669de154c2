"""Search back ends behind one protocol: the local index, and providers over HTTP."""
