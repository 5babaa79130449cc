package jakarta.annotation;

// Stands in for the library of that name, which says nothing to the program.
public @interface Nonnull {}
