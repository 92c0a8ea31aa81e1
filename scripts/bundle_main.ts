/**
 * What a bundle runs.
 *
 * @module
 */

import { args } from "./bundle_args.ts";
import { start } from "../main.ts";

start(args);
