package jakarta.annotation;

// Stands in for the library of that name, which says nothing to the program.
public @interface Generated {
  String[] value();

  String date() default "";

  String comments() default "";
}
