// SPDX-License-Identifier: MIT
// Empty: its presence lets Go code declare functions without bodies (spawn.go).
