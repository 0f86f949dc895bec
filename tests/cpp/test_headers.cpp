// A source for the precompiled headers of CMakeLists.txt to belong to.
