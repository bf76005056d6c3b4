// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "measure/plan.hpp"

namespace pcienic::bench {

/// What a reader has to know of where figures were taken: library, compiler, machine, accelerator, kernel, date. What
/// only the host of a guest knows it gives in the environment: PCIENIC_BENCH_HOST (its processor), PCIENIC_BENCH_QEMU
/// (its version), PCIENIC_BENCH_COMMIT (the library's).
std::vector<std::pair<std::string, std::string>> describe_environment(const Plan& plan);

}  // namespace pcienic::bench
