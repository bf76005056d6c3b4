// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A group's distributions as a picture: one lane for each series over a common, logarithmic axis of time.

#include <string>
#include <vector>

#include "report/model.hpp"

namespace pcienic::bench {

/// A whole SVG document; one that says so where the group has no series. The run tells in the footer where it was.
std::string to_svg(const Run& run, const Group& group);

struct Picture {
    std::string
        name;  ///< of its file: "interrupts.wake.svg", with the kernel's name in it where there are several runs
    std::string svg;
};
/// One for each group of each run.
std::vector<Picture> pictures(const Report& report);

}  // namespace pcienic::bench
