// Package request describes and renders calls of other services: a method, a URL, headers and a body whose texts have
// placeholders such as {version}. Rendering is pure, and no value can leave the place it is filled into: a segment of a path,
// a value of a query, a string of a JSON body, a field of a form, or a header.
package request
