/**
 * What a bundle runs.
 *
 * @module
 */

import { args } from "./bundle_args.ts";
import { answersVersion } from "../lib/build.ts";

if (!answersVersion(args)) import("../main.ts").then(({ start }) => start(args));
