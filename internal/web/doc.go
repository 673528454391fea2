// Package web is the dashboard: pages for people, made on the server and kept up to date by a small script of their own.
//
// It reads through Store and asks through the API: whatever changes something goes to the API's own handler with the
// credential of whoever looks, so that a button can do no more, and says no less, than the call of the same name. Streams
// are the API's too. Every page can be read without a script; every verb has a page that says what it will do before it does it.
//
// Nothing is inline and nothing comes from elsewhere: the pages live under the strictest policy that a browser knows.
package web
