// Package chaos breaks the platform under calls and listens to what becomes of
// them.
//
// One round is: many calls of every kind at seeded times, on a platform of real
// parts; one fault at a seeded moment; and then a judgement of each call by what
// its telephone heard, sample for sample, what the signalling said, and what its
// keys did. Everything a round does follows from one number, so that a round
// that went wrong can be repeated.
//
// What is judged is written in docs/chaos.md. Nothing is judged by how long it
// took, except how soon keys are obeyed again after a fault, so that a machine
// that stands still for a moment is no defect of the platform: a pause stretches
// what is heard, it takes nothing away.
//
// The package starts the platform through package stack and must not know what
// is inside: it sees calls, health pages and logs.
package chaos
