// SPDX-License-Identifier: GPL-2.0-or-later
/// Takes the text of `lspci -vvv -xxxx` apart into named fields, so that two tools can be compared field by field.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace pcienic::test {

/// Of one function: where a field stands ("Capabilities [40]/DevCap/MaxPayload 128 bytes") and what it says.
///
/// A flag's value is + or -; of NAME=VALUE it is VALUE; any other phrase is its own name and has the value "present",
/// so that a phrase with another value is a field that is missing.
using Fields = std::map<std::string, std::string>;

/// Per function, by its address as it stands in the text.
std::map<std::string, Fields> parse_listing(const std::string& text);

/// A difference that is known and meant.
struct KnownDifference {
    std::string pattern;  ///< an ECMAScript regular expression for the field's name
    std::string reason;
    unsigned since = 0;  ///< which lspci says otherwise: 11 is 3.11
    unsigned until = ~0U;
};

/// Where pcienic-ls, which speaks as lspci 3.9 does, says otherwise than the lspci of this version ("3.13.0");
/// docs/reference/pcienic-ls.md lists the same. A field that a later lspci added stands here by its name, so that
/// nothing of 3.9's is left out of a comparison.
std::vector<KnownDifference> known_differences(const std::string& version);

/// What `reference` says and `ours` does not, or says otherwise; one line each. What ours says beyond that is no
/// difference: it has lines of its own.
std::vector<std::string> missing_fields(const Fields& reference, const Fields& ours,
                                        const std::vector<KnownDifference>& known = {});

}  // namespace pcienic::test
