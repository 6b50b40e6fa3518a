/** "Nordmann^Kari^^Dr" as people write it: "Nordmann, Kari". */
export function nameForPeople(name: string): string {
  const [family, given] = (name.split("=")[0] ?? "").split("^");
  return [family, given].filter(Boolean).join(", ") || "name not given";
}
