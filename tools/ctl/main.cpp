// SPDX-License-Identifier: MIT
#include <iostream>
#include <string>
#include <vector>

#include "command_line.hpp"

int main(int argc, char** argv) {
    pcienic::ctl::World world{std::cout, std::cerr, std::cin};
    return pcienic::ctl::run(std::vector<std::string>(argv + 1, argv + argc), world);
}
