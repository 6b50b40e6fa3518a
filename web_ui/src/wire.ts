/** What the service sends, parsed once at the border; everything behind it may trust the types. */

import { Validator } from "@cfworker/json-schema";
import type { Schema } from "@cfworker/json-schema";

import { components as published } from "../openapi.json";
import type { components } from "./api";

type Schemas = components["schemas"];

export type Alert = Schemas["Alert"];
export type Clock = Schemas["Clock"];
export type Interval = Schemas["Interval"];
export type Limits = Schemas["Limits"];
export type Measurement = Schemas["Measurement"];
export type OfferedPhase = Schemas["OfferedPhase"];
export type Outline = Schemas["Outline"];
export type Phase = Schemas["Phase"];
export type PhaseName = Schemas["PhaseName"];
export type Priority = Schemas["Priority"];
export type Probe = Schemas["Probe"];
export type ProbeLine = Schemas["ProbeLine"];
export type Probes = Schemas["Probes"];
export type Nephrometry = Schemas["Nephrometry"];
export type NephrometryItem = Schemas["NephrometryItem"];
export type Procedure = Schemas["Procedure"];
export type ScanProgress = Schemas["ScanProgress"];
export type Series = Schemas["Series"];
export type ServerMessage = Schemas["ServerMessage"];
export type Snapshot = Schemas["Snapshot"];
export type StructureSource = Schemas["StructureSource"];
export type StructureDistance = Schemas["StructureDistance"];
export type TimeSpan = Schemas["TimeSpan"];
export type View = Schemas["View"];
export type Views = Schemas["Views"];

export type Decision = Schemas["Decision"];
export type ScheduledStep = Schemas["ScheduledStep"];
export type Worklist = Schemas["Worklist"];
export type Mask = Schemas["Mask"];
export type PlanningCandidate = Schemas["PlanningCandidate"];
export type StructuresVersion = Schemas["StructuresVersion"];

/** A message or answer that is not what the service's schema says. */
export class InvalidMessage extends Error {
  override readonly name = "InvalidMessage";
}

/**
 * The published schema, open to additions: the service's types forbid unknown fields when they
 * are made, but a page left open over an update must still read the fields it knows.
 */
function openToAdditions(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(openToAdditions);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key, value]) => !(key === "additionalProperties" && value === false))
      .map(([key, value]) => [key, openToAdditions(value)]),
  );
}

const schemas = openToAdditions(published.schemas);

function validatorOf(name: keyof Schemas): Validator {
  const root = { $ref: `#/components/schemas/${name}`, components: { schemas } };
  return new Validator(root as Schema, "2020-12", true);
}

const serverMessage = validatorOf("ServerMessage");
const viewsAnswer = validatorOf("Views");
const errorAnswer = validatorOf("ErrorAnswer");

function firstFault(validator: Validator, value: unknown): string | undefined {
  const { valid, errors } = validator.validate(value);
  if (valid) return undefined;
  const deepest = errors.at(-1);
  return deepest ? `${deepest.instanceLocation}: ${deepest.error}` : "not as published";
}

/** One message of the stream. @throws InvalidMessage for anything else. */
export function parseServerMessage(text: unknown): ServerMessage {
  if (typeof text !== "string") throw new InvalidMessage("not text");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidMessage("not JSON");
  }
  const fault = firstFault(serverMessage, value);
  if (fault !== undefined) throw new InvalidMessage(fault);
  return value as ServerMessage;
}

/** The answer of `GET …/views`. @throws InvalidMessage for anything else. */
export function parseViews(value: unknown): Views {
  const fault = firstFault(viewsAnswer, value);
  if (fault !== undefined) throw new InvalidMessage(fault);
  return value as Views;
}

const validators = new Map<keyof Schemas, Validator>();

/** An answer as the schema has published it. @throws InvalidMessage for anything else. */
export function checked<Name extends keyof Schemas>(name: Name, value: unknown): Schemas[Name] {
  let validator = validators.get(name);
  if (!validator) validators.set(name, (validator = validatorOf(name)));
  const fault = firstFault(validator, value);
  if (fault !== undefined) throw new InvalidMessage(fault);
  return value as Schemas[Name];
}

/** The sentence of a refused call, or undefined where the answer is not of that shape. */
export function errorText(value: unknown): string | undefined {
  if (firstFault(errorAnswer, value) !== undefined) return undefined;
  return (value as Schemas["ErrorAnswer"]).error.message;
}
