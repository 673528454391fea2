// Package web serves the dashboard: pages rendered on the server and kept up to date by a small script.
//
// It reads through Store and writes through the API: every change goes to the API's own handler with the credential of the
// signed-in user, so a button does exactly what the API call does. Streams are the API's too. Every page is readable without
// scripts; every action has a page that describes its effects first.
//
// Nothing is inline and nothing comes from elsewhere: the pages have the strictest Content-Security-Policy.
package web
