// Package validator stands in for the library of that name, which is in no registry that is used here. The generated
// models have no rules in their tags, so there is nothing for it to check.
package validator

func Validate(any) error { return nil }
